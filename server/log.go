package server

import (
	"log"
	"log/slog"
)

// errorLog takes what net/http has to say, such as a TLS handshake that failed;
// that is the peer's business and so no more than a debug line.
func errorLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
