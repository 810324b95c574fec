"""Ways to reach people outside the screen. `base` has the contract; the others are optional."""
