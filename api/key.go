package api

import (
	"context"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// keysService is riposte.v1's KeysService.
type keysService struct{ s *Server }

func (h keysService) Create(ctx context.Context, r *ripostev1.KeysServiceCreateRequest) (*ripostev1.KeysServiceCreateResponse, error) {
	return call(ctx, h.s, "KeysService.Create", riposte.RoleAdmin, r, h.create)
}

func (h keysService) create(ctx context.Context, caller riposte.Caller, r *ripostev1.KeysServiceCreateRequest) (*ripostev1.KeysServiceCreateResponse, error) {
	k, secret, err := riposte.NewKey(r.GetName(), roles[r.GetRole()], h.s.Store.Now())
	if err != nil {
		return nil, err
	}
	if err := h.s.Store.CreateKey(ctx, k); err != nil {
		return nil, err
	}
	h.s.Logger.Info("API key created", "key", k.ID, "role", k.Role, "by", caller.KeyID)
	return &ripostev1.KeysServiceCreateResponse{
		Key:    &ripostev1.Key{Id: k.ID, Name: k.Name, Role: r.GetRole(), CreatedAt: timestamp(k.CreatedAt)},
		Secret: secret,
	}, nil
}

var roles = map[ripostev1.Role]riposte.Role{
	ripostev1.Role_ROLE_VIEWER: riposte.RoleViewer,
	ripostev1.Role_ROLE_SENDER: riposte.RoleSender,
	ripostev1.Role_ROLE_ADMIN:  riposte.RoleAdmin,
}

func (h keysService) List(ctx context.Context, r *ripostev1.KeysServiceListRequest) (*ripostev1.KeysServiceListResponse, error) {
	return call(ctx, h.s, "KeysService.List", riposte.RoleAdmin, r, h.list)
}

func (h keysService) Revoke(ctx context.Context, r *ripostev1.KeysServiceRevokeRequest) (*ripostev1.KeysServiceRevokeResponse, error) {
	return call(ctx, h.s, "KeysService.Revoke", riposte.RoleAdmin, r, h.revoke)
}

func (h keysService) Current(ctx context.Context, r *ripostev1.KeysServiceCurrentRequest) (*ripostev1.KeysServiceCurrentResponse, error) {
	return call(ctx, h.s, "KeysService.Current", riposte.RoleViewer, r, h.current)
}

func (h keysService) list(ctx context.Context, _ riposte.Caller, r *ripostev1.KeysServiceListRequest) (*ripostev1.KeysServiceListResponse, error) {
	return nil, errNotYet
}

func (h keysService) revoke(ctx context.Context, _ riposte.Caller, r *ripostev1.KeysServiceRevokeRequest) (*ripostev1.KeysServiceRevokeResponse, error) {
	return nil, errNotYet
}

func (h keysService) current(ctx context.Context, caller riposte.Caller, r *ripostev1.KeysServiceCurrentRequest) (*ripostev1.KeysServiceCurrentResponse, error) {
	return &ripostev1.KeysServiceCurrentResponse{Key: &ripostev1.Key{Id: caller.KeyID, Name: "temporary", Role: ripostev1.Role_ROLE_ADMIN}}, nil
}
