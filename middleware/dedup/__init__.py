"""Who may work on a key and what was completed: stores, and the layer that claims each delivery in one."""
