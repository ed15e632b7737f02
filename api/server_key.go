package api

import (
	"context"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// ServerKeys is what the API needs of who keeps the server's own keys.
type ServerKeys interface {
	// List returns the keys of all uses, of each the newest first.
	List(ctx context.Context) ([]riposte.ServerKey, error)
	// Rotate makes the next key of a use. algorithm is "" and publishFor nil for the
	// defaults. A riposte.Error says what is wrong.
	Rotate(ctx context.Context, use riposte.ServerKeyUse, algorithm string, publishFor *time.Duration) (riposte.ServerKey, error)
	// Reread looks what other nodes have rotated, at most once a second.
	Reread(ctx context.Context, use riposte.ServerKeyUse) error
}

// serverKeysService is riposte.v1's ServerKeysService.
type serverKeysService struct{ s *Server }

func (h serverKeysService) List(ctx context.Context, r *ripostev1.ServerKeysServiceListRequest) (*ripostev1.ServerKeysServiceListResponse, error) {
	return call(ctx, h.s, "ServerKeysService.List", r, h.list)
}

func (h serverKeysService) Rotate(ctx context.Context, r *ripostev1.ServerKeysServiceRotateRequest) (*ripostev1.ServerKeysServiceRotateResponse, error) {
	return call(ctx, h.s, "ServerKeysService.Rotate", r, h.rotate)
}

func (h serverKeysService) list(ctx context.Context, _ riposte.Caller, _ *ripostev1.ServerKeysServiceListRequest) (*ripostev1.ServerKeysServiceListResponse, error) {
	keys, err := h.s.ServerKeys.List(ctx)
	if err != nil {
		return nil, err
	}
	res := &ripostev1.ServerKeysServiceListResponse{}
	for _, k := range keys {
		res.List = append(res.List, serverKeyMessage(k))
	}
	return res, nil
}

func (h serverKeysService) rotate(ctx context.Context, caller riposte.Caller, r *ripostev1.ServerKeysServiceRotateRequest) (*ripostev1.ServerKeysServiceRotateResponse, error) {
	var wrong []riposte.Violation
	use, ok := serverKeyUses[r.GetUse()]
	if !ok {
		wrong = append(wrong, riposte.Violation{Field: "use", Description: "must be SERVER_KEY_USE_SIGNING, _CALLBACK, _ACCESS_TOKEN or _DATA"})
	}
	var publishFor *time.Duration
	if d := r.GetPublishFor(); d != nil {
		if err := d.CheckValid(); err != nil || d.AsDuration() < 0 {
			wrong = append(wrong, riposte.Violation{Field: "publishFor", Description: "must not be negative"})
		}
		wait := d.AsDuration()
		publishFor = &wait
	}
	if len(wrong) > 0 {
		return nil, riposte.Invalid(wrong...)
	}
	k, err := h.s.ServerKeys.Rotate(auditing(ctx, string(use), rotationDetail(r)), use, r.GetAlgorithm(), publishFor)
	if err != nil {
		return nil, err
	}
	h.s.Logger.Info("server key rotated", "use", use, "key", k.ID, "usedFrom", k.UsedFrom, "by", caller.KeyID)
	return &ripostev1.ServerKeysServiceRotateResponse{Key: serverKeyMessage(k)}, nil
}

// rotationDetail says what was asked for; the key has no id yet.
func rotationDetail(r *ripostev1.ServerKeysServiceRotateRequest) string {
	detail := []string{"next key"}
	if a := r.GetAlgorithm(); a != "" {
		detail = append(detail, "algorithm "+a)
	}
	if d := r.GetPublishFor(); d != nil {
		detail = append(detail, "published for "+d.AsDuration().String())
	}
	return strings.Join(detail, ", ")
}

var serverKeyUses = map[ripostev1.ServerKeyUse]riposte.ServerKeyUse{
	ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING:      riposte.ServerKeySigning,
	ripostev1.ServerKeyUse_SERVER_KEY_USE_CALLBACK:     riposte.ServerKeyCallback,
	ripostev1.ServerKeyUse_SERVER_KEY_USE_ACCESS_TOKEN: riposte.ServerKeyAccessToken,
	ripostev1.ServerKeyUse_SERVER_KEY_USE_DATA:         riposte.ServerKeyData,
}

var serverKeyStates = map[riposte.ServerKeyState]ripostev1.ServerKeyState{
	riposte.ServerKeyNext:    ripostev1.ServerKeyState_SERVER_KEY_STATE_NEXT,
	riposte.ServerKeyCurrent: ripostev1.ServerKeyState_SERVER_KEY_STATE_CURRENT,
	riposte.ServerKeyRetired: ripostev1.ServerKeyState_SERVER_KEY_STATE_RETIRED,
}

func serverKeyMessage(k riposte.ServerKey) *ripostev1.ServerKey {
	m := &ripostev1.ServerKey{
		Id:           k.ID,
		State:        serverKeyStates[k.State],
		Algorithm:    k.Algorithm,
		CreatedAt:    timestamp(k.CreatedAt),
		UsedFrom:     timestamp(k.UsedFrom),
		RemovedAfter: timestamp(k.RemovedAfter),
	}
	for message, use := range serverKeyUses {
		if use == k.Use {
			m.Use = message
		}
	}
	return m
}
