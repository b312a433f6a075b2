"""What happens without a click: schedules, sensors, conditions, clearing."""
