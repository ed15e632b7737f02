package api

import "github.com/riposte-dev/riposte"

// errNotYet goes with the last operation that answers with it.
var errNotYet = &riposte.Error{Code: riposte.CodeUnavailable, Reason: "NOT_YET", Message: "not built yet"}
