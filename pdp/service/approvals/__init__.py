"""What people do: look at requests, vote, agree, stand in for each other. Every surface goes through here, so that
gRPC, command line and console obey the same rules. All acts are by a `Person`, verified for this one act."""
