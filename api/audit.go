package api

import ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"

// auditService is riposte.v1's AuditService.
type auditService struct {
	ripostev1.UnimplementedAuditServiceServer
	s *Server
}
