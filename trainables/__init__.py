"""What is trained: data, augmentation, models, losses, metrics and the loop of one configuration."""
