"""What weights need of a device's memory, and the plan that meets a budget."""
