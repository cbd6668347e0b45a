"""The approvers' and subjects' pages: server-rendered, without a build step, complete without JavaScript."""
