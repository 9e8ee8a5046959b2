"""When each row is made and where it lies: segments, rings, arena, schedule."""
