package api

import ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"

// clientsService is riposte.v1's ClientsService.
type clientsService struct {
	ripostev1.UnimplementedClientsServiceServer
	s *Server
}
