"""Training: the losses of the EENets paper, the recipes, the resumable trainer."""
