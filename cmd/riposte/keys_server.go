package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func newKeysServerCommand() *cobra.Command {
	f := &clientFlags{}
	cmd := &cobra.Command{
		Use:   "server",
		Short: "List the server's own keys",
		Long: `List the server's own keys, of each use the newest first:

  signing       signs deliveries; receivers find it in the key set (JWKS)
  callback      seals the tokens of callback URLs
  access-token  signs the access tokens of clients
  data          encrypts the other keys and the secrets of webhooks at rest; the
                master key, which the server's configuration gives, wraps it

A key is next while it is known everywhere and not yet used, current while what
is new is made with it, and retired while what was made with it still counts.

It needs an API key with the role admin.`,
		Example: `  riposte keys server
  riposte keys server --json | jq -r '.list[] | select(.use == "SERVER_KEY_USE_SIGNING") | .id'`,
		Args: noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			res, err := c.serverKeys.List(cmd.Context(), &ripostev1.ServerKeysServiceListRequest{})
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeServerKeys(out, res.GetList(), time.Now()) })
		}),
	}
	f.register(cmd)
	return cmd
}

// rotation is a command that rotates the keys of one use.
type rotation struct {
	use                  ripostev1.ServerKeyUse
	name, short, long    string
	example              string
	algorithm, published bool // whether it has the flags
}

var rotations = []rotation{
	{
		use: ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING, name: "rotate-signing", algorithm: true, published: true,
		short: "Make the next key that signs deliveries",
		long: `Make the next key that signs deliveries. It is in the key set (JWKS) at once and is
used ten minutes later, when every receiver that keeps the key set for no longer
than it may has it. The one before leaves the key set when no delivery is under
way any more that it has signed. No delivery fails for it.

With --publish-for 0 it is used within seconds: for a key that somebody else may
have got. Receivers that fetch the key set when they meet a key that they don't
know, as the receiver package does, go on; others refuse deliveries until they
fetch it, and get them again.`,
		example: `  riposte keys rotate-signing
  riposte keys rotate-signing --algorithm ES256 --publish-for 24h
  riposte keys rotate-signing --publish-for 0`,
	},
	{
		use: ripostev1.ServerKeyUse_SERVER_KEY_USE_CALLBACK, name: "rotate-callback", published: true,
		short: "Make the next key of callback URLs",
		long: `Make the next key that seals the tokens of callback URLs. It is used a minute
later, when all nodes have it. The one before stays for the 31 days in which an
answer may come to a URL that it has made, so every callback URL goes on working.`,
		example: `  riposte keys rotate-callback
  riposte keys rotate-callback --publish-for 0`,
	},
	{
		use: ripostev1.ServerKeyUse_SERVER_KEY_USE_ACCESS_TOKEN, name: "rotate-access-token", published: true,
		short: "Make the next key that signs access tokens",
		long: `Make the next key that signs the access tokens of clients. It is used a minute
later, when all nodes have it. The one before stays until its tokens have expired.`,
		example: `  riposte keys rotate-access-token
  riposte keys rotate-access-token --publish-for 0`,
	},
	{
		use: ripostev1.ServerKeyUse_SERVER_KEY_USE_DATA, name: "rotate-master",
		short: "Encrypt all secrets anew, under the first master key",
		long: `Make a new data key, wrap it with the first master key, and encrypt everything anew
that the server keeps secret, while it serves.

Where the server made its own master key (master.key in its data directory), it
makes a new one and forgets the old. Otherwise, first give every node both keys,
the new one in front of the old: RIPOSTE_MASTER_KEY needs a restart of each node,
a --master-key-file is read again. Then run this, and take the old one away.`,
		example: `  riposte keys rotate-master`,
	},
}

func newRotationCommand(r rotation) *cobra.Command {
	f := &clientFlags{}
	req := &ripostev1.ServerKeysServiceRotateRequest{Use: r.use}
	var publishFor time.Duration
	cmd := &cobra.Command{
		Use:     r.name,
		Short:   r.short,
		Long:    r.long + "\n\nIt needs an API key with the role admin.",
		Example: r.example,
		Args:    noArgs,
		RunE: f.connected(func(cmd *cobra.Command, c *clients, _ []string) error {
			if cmd.Flags().Changed("publish-for") {
				req.PublishFor = durationpb.New(publishFor)
			}
			res, err := c.serverKeys.Rotate(cmd.Context(), req)
			if err != nil {
				return err
			}
			return f.print(cmd, res, func(out *bytes.Buffer) { writeRotated(out, res.GetKey(), time.Now()) })
		}),
	}
	if r.algorithm {
		cmd.Flags().StringVar(&req.Algorithm, "algorithm", "", "EdDSA, ES256 or RS256 (default EdDSA)")
	}
	if r.published {
		cmd.Flags().DurationVar(&publishFor, "publish-for", 0, "how `long` the key is known before it is used; 0 for at once (default as long as it takes)")
	}
	f.register(cmd)
	return cmd
}

// writeRotated says when the key is used, in as many seconds as that is away.
func writeRotated(out *bytes.Buffer, k *ripostev1.ServerKey, now time.Time) {
	when := "now"
	if from := k.GetUsedFrom().AsTime(); from.After(now) {
		when = "from " + moment(k.GetUsedFrom(), now)
	}
	fmt.Fprintf(out, "Made the %s key %s (%s). It is used %s.\n", serverKeyUse(k.GetUse()), visible(k.GetId()), visible(k.GetAlgorithm()), when)
}

func writeServerKeys(out *bytes.Buffer, list []*ripostev1.ServerKey, now time.Time) {
	t := newTable(out, "USE", "STATE", "ALGORITHM", "USED FROM", "REMOVED AFTER", "ID")
	for _, k := range list {
		t.row(serverKeyUse(k.GetUse()), serverKeyState(k.GetState()), k.GetAlgorithm(), moment(k.GetUsedFrom(), now), moment(k.GetRemovedAfter(), now), k.GetId())
	}
	t.flush()
}

func serverKeyUse(use ripostev1.ServerKeyUse) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(use.String(), "SERVER_KEY_USE_"), "_", "-"))
}

func serverKeyState(state ripostev1.ServerKeyState) string {
	return strings.ToLower(strings.TrimPrefix(state.String(), "SERVER_KEY_STATE_"))
}
