package api

import (
	"net/http"

	"github.com/riposte-dev/riposte"
)

const metricsPath = "/metrics"

// metrics answers whoever may read: the figures name webhooks.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	caller, _ := r.Context().Value(callerKey{}).(riposte.Caller)
	if !caller.Role.Covers(riposte.RoleViewer) {
		writeError(w, s.mapError(metricsPath, mayNot(caller.Role, riposte.RoleViewer)))
		return
	}
	s.Metrics.ServeHTTP(w, r)
}
