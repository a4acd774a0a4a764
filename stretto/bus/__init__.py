"""The ground floor: NATS and nothing else. It knows no model and no plan."""
