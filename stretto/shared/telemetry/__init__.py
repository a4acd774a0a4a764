"""Telemetry: what each process does with the spans and figures that its code tells."""
