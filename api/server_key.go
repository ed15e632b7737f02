package api

import ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"

// serverKeysService is riposte.v1's ServerKeysService.
type serverKeysService struct {
	ripostev1.UnimplementedServerKeysServiceServer
	s *Server
}
