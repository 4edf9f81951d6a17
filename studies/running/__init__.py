"""Running a study: launch, driver, Ray, workers and what they need."""
