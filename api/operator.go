package api

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/riposte-dev/riposte"
)

// What operators read is at paths of its own, in formats of its own.
const (
	metricsPath = "/metrics"
	profilePath = "/debug/pprof/"
)

func isOperators(path string) bool {
	return path == metricsPath || strings.HasPrefix(path, profilePath)
}

// operatorRoutes adds the metrics, which name webhooks and so need a viewer, and
// Go's profiles, which show what is in memory and so need an administrator. The
// command line is not among them: it may have a key in it.
func (s *Server) operatorRoutes(mux *http.ServeMux) {
	add := func(path string, needs riposte.Role, h http.Handler) {
		mux.Handle(path, s.authenticated(only(http.MethodGet, s.restricted(needs, h))))
	}
	if s.Metrics != nil {
		add(metricsPath, riposte.RoleViewer, s.Metrics)
	}
	add(profilePath, riposte.RoleAdmin, http.HandlerFunc(pprof.Index))
	add(profilePath+"profile", riposte.RoleAdmin, http.HandlerFunc(pprof.Profile))
	add(profilePath+"trace", riposte.RoleAdmin, http.HandlerFunc(pprof.Trace))
}

// restricted is h for callers of a role that covers needs.
func (s *Server) restricted(needs riposte.Role, h http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := admit(r.Context(), needs); err != nil {
			writeError(w, s.mapError(r.URL.Path, err))
			return
		}
		h.ServeHTTP(w, r)
	}
}
