"""One call as facts: caller, subject, agent, tool and session."""
