package api

import (
	"context"
	"slices"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// clientsService is riposte.v1's ClientsService.
type clientsService struct{ s *Server }

func (h clientsService) Create(ctx context.Context, r *ripostev1.ClientsServiceCreateRequest) (*ripostev1.ClientsServiceCreateResponse, error) {
	return call(ctx, h.s, "ClientsService.Create", r, h.create)
}

func (h clientsService) List(ctx context.Context, r *ripostev1.ClientsServiceListRequest) (*ripostev1.ClientsServiceListResponse, error) {
	return call(ctx, h.s, "ClientsService.List", r, h.list)
}

func (h clientsService) Revoke(ctx context.Context, r *ripostev1.ClientsServiceRevokeRequest) (*ripostev1.ClientsServiceRevokeResponse, error) {
	return call(ctx, h.s, "ClientsService.Revoke", r, h.revoke)
}

func (h clientsService) create(ctx context.Context, caller riposte.Caller, r *ripostev1.ClientsServiceCreateRequest) (*ripostev1.ClientsServiceCreateResponse, error) {
	c, secret, err := riposte.NewClient(r.GetName(), riposte.ClientHost(h.s.publicURL), roles[r.GetRole()], expiry(r.GetExpiresAt()), int(r.GetRateLimit()), h.s.Store.Now())
	if err != nil {
		return nil, err
	}
	if err := h.s.Store.CreateClient(auditing(ctx, c.ID, c.Summary()), c); err != nil {
		return nil, err
	}
	h.s.Logger.Info("client created", "client", c.ID, "client_id", c.ClientID, "role", c.Role, "by", caller.KeyID)
	return &ripostev1.ClientsServiceCreateResponse{Client: ClientMessage(c), ClientSecret: secret}, nil
}

func (h clientsService) list(ctx context.Context, _ riposte.Caller, _ *ripostev1.ClientsServiceListRequest) (*ripostev1.ClientsServiceListResponse, error) {
	all, err := h.s.Store.ListClients(ctx)
	if err != nil {
		return nil, err
	}
	res := &ripostev1.ClientsServiceListResponse{}
	for _, c := range all {
		c.LastUsedAt = h.s.lastUses.last(c.ID, c.LastUsedAt)
		res.List = append(res.List, ClientMessage(c))
	}
	return res, nil
}

// revoke takes the caller's own client, too: its next call is refused.
func (h clientsService) revoke(ctx context.Context, caller riposte.Caller, r *ripostev1.ClientsServiceRevokeRequest) (*ripostev1.ClientsServiceRevokeResponse, error) {
	if !riposte.IsID(r.GetId()) {
		return nil, riposte.ErrClientNotFound
	}
	detail, err := h.summary(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	if err := h.s.Store.DeleteClient(auditing(ctx, r.GetId(), detail), r.GetId()); err != nil {
		return nil, err
	}
	h.s.lastUses.forget(r.GetId())
	h.s.Logger.Info("client revoked", "client", r.GetId(), "by", caller.KeyID)
	return &ripostev1.ClientsServiceRevokeResponse{}, nil
}

// summary says which client an id names, for those who read about it when it is gone.
func (h clientsService) summary(ctx context.Context, id string) (string, error) {
	all, err := h.s.Store.ListClients(ctx)
	n := slices.IndexFunc(all, func(c riposte.Client) bool { return c.ID == id })
	if err != nil || n < 0 {
		return "", err
	}
	return all[n].Summary(), nil
}

// ClientMessage is c as callers see it.
func ClientMessage(c riposte.Client) *ripostev1.Client {
	return &ripostev1.Client{
		Id:         c.ID,
		ClientId:   c.ClientID,
		Name:       c.Name,
		Role:       roleMessage(c.Role),
		CreatedAt:  timestamp(c.CreatedAt),
		ExpiresAt:  timestamp(c.ExpiresAt),
		LastUsedAt: timestamp(c.LastUsedAt),
		RateLimit:  int32(c.RateLimit),
	}
}
