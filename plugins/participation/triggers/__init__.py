"""What the triggerer runs: watchers that turn outbox rows into asset events."""
