package baseline_test

import data.lib.testing
import data.packs.baseline

test_missing_scope_denies if {
	"scope.missing" in testing.codes(baseline.deny) with input as testing.call({"subject": {"scopes": ["repo:read"]}, "targets": [testing.tool({"permissions": ["repo:read", "repo:write"]})]})
		with data.org as testing.org
}

test_all_scopes_pass if {
	not "scope.missing" in testing.codes(baseline.deny) with input as testing.call({"subject": {"scopes": ["repo:read", "other"]}, "targets": [testing.tool({"permissions": ["repo:read"]})]})
		with data.org as testing.org
}

test_no_scopes_and_no_permissions_pass if {
	not "scope.missing" in testing.codes(baseline.deny) with input as testing.call({})
		with data.org as testing.org
}
