"""The line from a Kafka topic to an escalation; start reading at `screen`."""
