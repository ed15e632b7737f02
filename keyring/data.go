package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/vault"
)

const (
	dataAlgorithm = "A256GCM"
	// settled is how long after a rotation every node seals with the new data key:
	// whatever was sealed with an old one is then there to be found.
	settled = 2 * lookEvery
	// keepData is for how long an old data key stays, at least: somebody may just have
	// sealed something with it and not have stored it yet.
	keepData = 24 * time.Hour
	// webhooksAPage is how many webhooks are looked at with one query.
	webhooksAPage = 200
)

// rotateData makes a new data key, with which all is sealed anew while the server serves,
// and wraps it with the first master key. Each step leaves what the next start can open:
//
//  1. A master key that the server made itself is renewed: the file has both.
//  2. The data keys are wrapped with it, and swapped in the store.
//  3. The file loses the master key that wraps none of them any more.
//  4. What old data keys have sealed is sealed anew, piece by piece; they stay until
//     nothing is left of it, and a day longer.
func (k *Keeper) rotateData(ctx context.Context, algorithm string, publishFor *time.Duration) (riposte.ServerKey, error) {
	if algorithm != "" && algorithm != dataAlgorithm {
		return riposte.ServerKey{}, riposte.Invalid(riposte.Violation{Field: "algorithm", Description: "must be " + dataAlgorithm})
	}
	if publishFor != nil && *publishFor != 0 {
		return riposte.ServerKey{}, riposte.Invalid(riposte.Violation{Field: "publishFor", Description: "must be unset: a data key is not published"})
	}
	k.rotating.Lock()
	defer k.rotating.Unlock()
	if k.Master != nil {
		if err := k.Master.Renew(); err != nil {
			return riposte.ServerKey{}, err
		}
	}
	if _, err := k.Vault.Rotate(ctx); err != nil {
		return riposte.ServerKey{}, err
	}
	if k.Master != nil {
		if err := k.Master.Keep(k.Vault.MasterIDs()); err != nil {
			k.Logger.Warn("the master key that was replaced is still in its file", "error", err)
		}
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return k.dataKeys()[0], nil
}

func (k *Keeper) dataKeys() []riposte.ServerKey {
	var list []riposte.ServerKey
	for _, key := range k.Vault.Keys() {
		each := riposte.ServerKey{ID: key.ID, Use: riposte.ServerKeyData, State: riposte.ServerKeyCurrent, Algorithm: dataAlgorithm,
			CreatedAt: key.CreatedAt, UsedFrom: key.CreatedAt}
		if !key.RetiredAt.IsZero() {
			each.State, each.RemovedAfter = riposte.ServerKeyRetired, key.RetiredAt.Add(keepData)
		}
		list = append(list, each)
	}
	return list
}

// lookAfterData seals anew what old data keys have sealed, and removes those that have
// had their time. All nodes do so; it is nothing to do twice.
func (k *Keeper) lookAfterData(ctx context.Context) error {
	now := k.Store.Now()
	var full, due, old []string
	for _, key := range k.Vault.Keys() {
		switch {
		case key.RetiredAt.IsZero():
			continue
		case !key.Empty:
			full = append(full, key.ID)
		case !now.Before(key.RetiredAt.Add(keepData)):
			due = append(due, key.ID)
		}
		if !now.Before(key.RetiredAt.Add(settled)) {
			old = append(old, key.ID)
		}
	}
	if len(full)+len(due) == 0 {
		return nil
	}
	found, err := k.resealAll(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("sealing secrets anew: %w", err)
	case found:
		return nil // the next look tells whether that was all
	}
	return errors.Join(k.noteEmpty(ctx, full, old), k.removeData(ctx, due))
}

// noteEmpty notes of the data keys in full that nothing is left that they have sealed:
// of those that all nodes have given up by now.
func (k *Keeper) noteEmpty(ctx context.Context, full, old []string) error {
	empty := slices.DeleteFunc(full, func(id string) bool { return !slices.Contains(old, id) })
	if len(empty) == 0 {
		return nil
	}
	return k.Vault.SetEmpty(ctx, empty)
}

func (k *Keeper) removeData(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return k.Vault.Remove(ctx, ids)
}

// resealAll seals anew whatever has another data key than the current one, and reports
// whether there was any.
func (k *Keeper) resealAll(ctx context.Context) (found bool, err error) {
	names := slices.Clone(k.Secrets)
	for _, use := range k.Uses {
		names = append(names, use.Secret)
	}
	for _, name := range names {
		was, err := k.sealer.reseal(ctx, name)
		if err != nil {
			return found, err
		}
		found = found || was
	}
	for _, deleted := range []bool{false, true} {
		was, err := k.resealWebhooks(ctx, deleted)
		if err != nil {
			return found, err
		}
		found = found || was
	}
	return found, nil
}

func (k *Keeper) resealWebhooks(ctx context.Context, deleted bool) (found bool, err error) {
	before := ""
	for {
		page, err := k.Store.ListWebhooks(ctx, riposte.WebhookFilter{Deleted: deleted, Before: before, Limit: webhooksAPage})
		if err != nil || len(page) == 0 {
			return found, err
		}
		for _, w := range page {
			was, err := k.resealWebhook(ctx, w)
			if err != nil {
				return found, fmt.Errorf("webhook %s: %w", w.ID, err)
			}
			found = found || was
		}
		before = page[len(page)-1].ID
	}
}

// resealWebhook saves w, again where somebody else changed it meanwhile. UpdatedAt stays:
// nothing that anybody sees has changed.
func (k *Keeper) resealWebhook(ctx context.Context, w riposte.Webhook) (bool, error) {
	for {
		request, changed, err := resealRequest(k.Vault, w)
		if err != nil || !changed {
			return false, err
		}
		w.Settings.Request = request
		_, err = k.Store.SaveWebhook(ctx, w)
		switch {
		case errors.Is(err, riposte.ErrWebhookNotFound):
			return false, nil // purged
		case !errors.Is(err, riposte.ErrConflict):
			return true, err
		}
		if w, err = k.Store.LoadWebhook(ctx, w.ID); err != nil {
			return false, err
		}
	}
}

// resealRequest returns w's request settings sealed with the current data key. Those that
// were given stay as they are: a store may have them in memory.
func resealRequest(v *vault.Vault, w riposte.Webhook) (riposte.RequestSettings, bool, error) {
	s := w.Settings.Request
	changed := false
	var failed error
	anew := func(purpose string, sealed riposte.Sealed) riposte.Sealed {
		if !v.Stale(sealed) || failed != nil {
			return sealed
		}
		secret, err := v.Open(purpose, sealed)
		if err != nil {
			failed = fmt.Errorf("opening %s: %w", purpose, err)
			return sealed
		}
		changed = true
		return v.Seal(purpose, secret)
	}
	of := "webhook/" + w.ID + "/"
	s.Headers = slices.Clone(s.Headers)
	for n, h := range s.Headers {
		s.Headers[n].Value = anew(of+"header/"+strings.ToLower(h.Name), h.Value)
	}
	s.Secrets = slices.Clone(s.Secrets)
	for n, secret := range s.Secrets {
		s.Secrets[n].Secret = anew(of+"secret/"+secret.ID, secret.Secret)
	}
	if s.ClientCertificate != nil {
		c := *s.ClientCertificate
		c.PrivateKey = anew(of+"client-key", c.PrivateKey)
		s.ClientCertificate = &c
	}
	return s, changed, failed
}
