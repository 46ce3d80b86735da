"""Where contributions come from: one adapter per form, all of them yielding records."""
