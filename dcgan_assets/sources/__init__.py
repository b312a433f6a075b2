"""Where raw pictures come from: packaged samples, folders of the user, public downloads."""
