"""What must not fail: reloads, killed workers, rolling restarts under load; idle CPU; two workers against one."""
