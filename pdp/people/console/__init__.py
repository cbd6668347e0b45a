"""The approvers' and subjects' pages: server-rendered, without a build step, and whole without JavaScript."""
