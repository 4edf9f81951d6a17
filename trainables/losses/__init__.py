"""Loss terms, their weighting and class weights."""
