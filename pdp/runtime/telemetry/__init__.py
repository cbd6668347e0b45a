"""Telemetry by OpenTelemetry: the only part that imports its SDK, and only when it is switched on.

Used from outside: `options.TelemetryOptions`, `exporting.exporting`, `provider.OpenTelemetry`, `observed`, `logs`.
"""
