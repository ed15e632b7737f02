package api

import (
	"context"
	"slices"
	"strings"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

var errKeyConfigured = &riposte.Error{Code: riposte.CodeFailedPrecondition, Reason: "KEY_CONFIGURED",
	Message: "the server's configuration gives this API key: change RIPOSTE_API_KEY and restart the server"}

// keysService is riposte.v1's KeysService.
type keysService struct{ s *Server }

func (h keysService) Create(ctx context.Context, r *ripostev1.KeysServiceCreateRequest) (*ripostev1.KeysServiceCreateResponse, error) {
	return call(ctx, h.s, "KeysService.Create", riposte.RoleAdmin, r, h.create)
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

func (h keysService) create(ctx context.Context, caller riposte.Caller, r *ripostev1.KeysServiceCreateRequest) (*ripostev1.KeysServiceCreateResponse, error) {
	k, secret, err := riposte.NewKey(r.GetName(), roles[r.GetRole()], h.s.Store.Now())
	if err != nil {
		return nil, err
	}
	if err := h.s.Store.CreateKey(ctx, k); err != nil {
		return nil, err
	}
	h.s.Logger.Info("API key created", "key", k.ID, "role", k.Role, "by", caller.KeyID)
	return &ripostev1.KeysServiceCreateResponse{Key: keyMessage(k), Secret: secret}, nil
}

func (h keysService) list(ctx context.Context, _ riposte.Caller, _ *ripostev1.KeysServiceListRequest) (*ripostev1.KeysServiceListResponse, error) {
	stored, err := h.s.Store.ListKeys(ctx)
	if err != nil {
		return nil, err
	}
	res := &ripostev1.KeysServiceListResponse{}
	for _, k := range slices.Concat(h.s.Keys, stored) {
		res.List = append(res.List, keyMessage(k))
	}
	return res, nil
}

// revoke takes the caller's own key, too: its next call is refused. Without any key of
// an admin nobody could make one.
func (h keysService) revoke(ctx context.Context, caller riposte.Caller, r *ripostev1.KeysServiceRevokeRequest) (*ripostev1.KeysServiceRevokeResponse, error) {
	id := r.GetId()
	if slices.ContainsFunc(h.s.Keys, func(k riposte.Key) bool { return k.ID == id }) {
		return nil, errKeyConfigured
	}
	if !riposte.IsID(id) {
		return nil, riposte.ErrKeyNotFound
	}
	configured := slices.ContainsFunc(h.s.Keys, func(k riposte.Key) bool { return k.Role == riposte.RoleAdmin })
	if err := h.s.Store.DeleteKey(ctx, id, !configured); err != nil {
		return nil, err
	}
	h.s.Logger.Info("API key revoked", "key", id, "by", caller.KeyID)
	return &ripostev1.KeysServiceRevokeResponse{}, nil
}

func (h keysService) current(_ context.Context, caller riposte.Caller, _ *ripostev1.KeysServiceCurrentRequest) (*ripostev1.KeysServiceCurrentResponse, error) {
	return &ripostev1.KeysServiceCurrentResponse{Key: keyMessage(riposte.Key{
		ID: caller.KeyID, Name: caller.KeyName, Role: caller.Role, CreatedAt: caller.KeyCreatedAt,
	})}, nil
}

var roles = map[ripostev1.Role]riposte.Role{
	ripostev1.Role_ROLE_VIEWER: riposte.RoleViewer,
	ripostev1.Role_ROLE_SENDER: riposte.RoleSender,
	ripostev1.Role_ROLE_ADMIN:  riposte.RoleAdmin,
}

func roleMessage(r riposte.Role) ripostev1.Role {
	return ripostev1.Role(ripostev1.Role_value["ROLE_"+strings.ToUpper(string(r))])
}

func keyMessage(k riposte.Key) *ripostev1.Key {
	return &ripostev1.Key{
		Id:        k.ID,
		Name:      k.Name,
		Role:      roleMessage(k.Role),
		CreatedAt: timestamp(k.CreatedAt),
	}
}
