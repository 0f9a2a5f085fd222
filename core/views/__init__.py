"""Pages and addresses that belong to no other room."""
