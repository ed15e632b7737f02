package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

var errKeyConfigured = &riposte.Error{Code: riposte.CodeFailedPrecondition, Reason: "KEY_CONFIGURED",
	Message: "the server's configuration gives this API key: change RIPOSTE_API_KEY and restart the server"}

// keysService is riposte.v1's KeysService.
type keysService struct{ s *Server }

func (h keysService) Create(ctx context.Context, r *ripostev1.KeysServiceCreateRequest) (*ripostev1.KeysServiceCreateResponse, error) {
	return call(ctx, h.s, "KeysService.Create", r, h.create)
}

func (h keysService) List(ctx context.Context, r *ripostev1.KeysServiceListRequest) (*ripostev1.KeysServiceListResponse, error) {
	return call(ctx, h.s, "KeysService.List", r, h.list)
}

func (h keysService) Revoke(ctx context.Context, r *ripostev1.KeysServiceRevokeRequest) (*ripostev1.KeysServiceRevokeResponse, error) {
	return call(ctx, h.s, "KeysService.Revoke", r, h.revoke)
}

func (h keysService) Current(ctx context.Context, r *ripostev1.KeysServiceCurrentRequest) (*ripostev1.KeysServiceCurrentResponse, error) {
	return call(ctx, h.s, "KeysService.Current", r, h.current)
}

func (h keysService) create(ctx context.Context, caller riposte.Caller, r *ripostev1.KeysServiceCreateRequest) (*ripostev1.KeysServiceCreateResponse, error) {
	k, secret, err := riposte.NewLimitedKey(r.GetName(), roles[r.GetRole()], expiry(r.GetExpiresAt()), int(r.GetRateLimit()), h.s.Store.Now())
	if err != nil {
		return nil, err
	}
	if err := h.s.Store.CreateKey(auditing(ctx, k.ID, k.Summary()), k); err != nil {
		return nil, err
	}
	h.s.Logger.Info("API key created", "key", k.ID, "role", k.Role, "by", caller.KeyID)
	return &ripostev1.KeysServiceCreateResponse{Key: KeyMessage(k), Secret: secret}, nil
}

// expiry is the time from when on a key or client is refused; zero for an absent one,
// and for one that is no time some time that is over.
func expiry(t *timestamppb.Timestamp) time.Time {
	switch {
	case t == nil:
		return time.Time{}
	case t.CheckValid() != nil || t.AsTime().IsZero():
		return time.Unix(0, 0)
	}
	return t.AsTime()
}

func (h keysService) list(ctx context.Context, _ riposte.Caller, _ *ripostev1.KeysServiceListRequest) (*ripostev1.KeysServiceListResponse, error) {
	stored, err := h.s.Store.ListKeys(ctx)
	if err != nil {
		return nil, err
	}
	res := &ripostev1.KeysServiceListResponse{}
	for _, k := range slices.Concat(h.s.Keys, stored) {
		k.LastUsedAt = h.s.lastUses.last(k.ID, k.LastUsedAt)
		res.List = append(res.List, KeyMessage(k))
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
	detail, err := h.summary(ctx, id)
	if err != nil {
		return nil, err
	}
	configured := slices.ContainsFunc(h.s.Keys, func(k riposte.Key) bool { return k.Role == riposte.RoleAdmin })
	if err := h.s.Store.DeleteKey(auditing(ctx, id, detail), id, !configured); err != nil {
		return nil, err
	}
	h.s.lastUses.forget(id)
	h.s.Logger.Info("API key revoked", "key", id, "by", caller.KeyID)
	return &ripostev1.KeysServiceRevokeResponse{}, nil
}

// summary says which key an id names, for those who read about it when it is gone.
func (h keysService) summary(ctx context.Context, id string) (string, error) {
	stored, err := h.s.Store.ListKeys(ctx)
	n := slices.IndexFunc(stored, func(k riposte.Key) bool { return k.ID == id })
	if err != nil || n < 0 {
		return "", err
	}
	return stored[n].Summary(), nil
}

func (h keysService) current(_ context.Context, caller riposte.Caller, _ *ripostev1.KeysServiceCurrentRequest) (*ripostev1.KeysServiceCurrentResponse, error) {
	return &ripostev1.KeysServiceCurrentResponse{Key: KeyMessage(riposte.Key{
		ID: caller.KeyID, Name: caller.KeyName, Role: caller.Role, CreatedAt: caller.KeyCreatedAt, ExpiresAt: caller.ExpiresAt,
		LastUsedAt: h.s.lastUses.last(caller.KeyID, time.Time{}), RateLimit: caller.RateLimit,
	})}, nil
}

var roles = map[ripostev1.Role]riposte.Role{
	ripostev1.Role_ROLE_VIEWER: riposte.RoleViewer,
	ripostev1.Role_ROLE_SENDER: riposte.RoleSender,
	ripostev1.Role_ROLE_ADMIN:  riposte.RoleAdmin,
}

// KeyMessage is a key as the API has it.
func KeyMessage(k riposte.Key) *ripostev1.Key {
	return &ripostev1.Key{
		Id:         k.ID,
		Name:       k.Name,
		Role:       roleMessage(k.Role),
		CreatedAt:  timestamp(k.CreatedAt),
		ExpiresAt:  timestamp(k.ExpiresAt),
		LastUsedAt: timestamp(k.LastUsedAt),
		RateLimit:  int32(k.RateLimit),
	}
}

// roleMessage is ROLE_UNSPECIFIED for who needs none: the command line.
func roleMessage(r riposte.Role) ripostev1.Role {
	return ripostev1.Role(ripostev1.Role_value["ROLE_"+strings.ToUpper(string(r))])
}
