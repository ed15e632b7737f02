package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// requestFlags change what a webhook's requests have beyond the contract.
type requestFlags struct {
	headers, removed                 []string
	certificateFile, keyFile, caFile string
}

func (r *requestFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&r.headers, "header", nil, "send this header, `'Name: value'`; the value may be @FILE, or - for standard input; may be repeated")
	flags.StringArrayVar(&r.removed, "remove-header", nil, "send the header of this `NAME` no more; may be repeated")
	flags.StringVar(&r.certificateFile, "client-cert", "", "show the certificate in this PEM `FILE` to receivers that ask for one; '' for none")
	flags.StringVar(&r.keyFile, "client-key", "", "PEM `FILE` with the key of --client-cert; without it the key stays")
	flags.StringVar(&r.caFile, "ca", "", "trust the authorities in this PEM `FILE` in place of the system's; '' for the system's")
}

// change adds to req what the flags change. Headers are changed by name, from those
// that c knows now.
func (r *requestFlags) change(cmd *cobra.Command, c *clients, req *ripostev1.WebhookSettingsServiceUpdateRequest) error {
	if len(r.headers) > 0 || len(r.removed) > 0 {
		list, err := r.changeHeaders(cmd, c, req.GetWebhookId())
		if err != nil {
			return err
		}
		req.Settings.Headers = &ripostev1.WebhookHeaders{List: list}
		req.UpdateMask.Paths = append(req.UpdateMask.Paths, "headers")
	}
	if err := r.changeCertificate(cmd, req); err != nil {
		return err
	}
	if cmd.Flags().Changed("ca") {
		ca, err := readFile("ca", r.caFile)
		if err != nil {
			return err
		}
		req.Settings.CaPem = &ca
		req.UpdateMask.Paths = append(req.UpdateMask.Paths, "ca_pem")
	}
	return nil
}

func (r *requestFlags) changeCertificate(cmd *cobra.Command, req *ripostev1.WebhookSettingsServiceUpdateRequest) error {
	if !cmd.Flags().Changed("client-cert") {
		if cmd.Flags().Changed("client-key") {
			return usagef("--client-key goes with --client-cert")
		}
		return nil
	}
	req.UpdateMask.Paths = append(req.UpdateMask.Paths, "client_certificate")
	if r.certificateFile == "" && r.keyFile == "" {
		return nil
	}
	certificate, err := readFile("client-cert", r.certificateFile)
	if err != nil {
		return err
	}
	req.Settings.ClientCertificate = &ripostev1.ClientCertificate{CertificatePem: certificate}
	if cmd.Flags().Changed("client-key") {
		key, err := readFile("client-key", r.keyFile)
		if err != nil {
			return err
		}
		req.Settings.ClientCertificate.PrivateKeyPem = &key
	}
	return nil
}

// readFile reads the file that a flag names; nothing where it names none.
func readFile(flag, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", usagef("reading --%s: %w", flag, err)
	}
	return string(b), nil
}

// changeHeaders reads all flags before it asks the server.
func (r *requestFlags) changeHeaders(cmd *cobra.Command, c *clients, webhookID string) ([]*ripostev1.WebhookHeader, error) {
	var given []*ripostev1.WebhookHeader
	for _, flag := range r.headers {
		h, err := readHeader(cmd, flag)
		if err != nil {
			return nil, err
		}
		given = append(given, h)
	}
	list, err := storedHeaders(cmd.Context(), c, webhookID)
	if err != nil {
		return nil, err
	}
	for _, name := range r.removed {
		n := indexOfHeader(list, name)
		if n < 0 {
			return nil, usagef("there is no header %q to remove", name)
		}
		list = slices.Delete(list, n, n+1)
	}
	for _, h := range given {
		if n := indexOfHeader(list, h.GetName()); n >= 0 && list[n].Value == nil {
			list[n] = h
		} else {
			list = append(list, h)
		}
	}
	return list, nil
}

func storedHeaders(ctx context.Context, c *clients, webhookID string) ([]*ripostev1.WebhookHeader, error) {
	res, err := c.settings.Get(ctx, &ripostev1.WebhookSettingsServiceGetRequest{WebhookId: webhookID})
	return res.GetSettings().GetHeaders().GetList(), err
}

func indexOfHeader(list []*ripostev1.WebhookHeader, name string) int {
	return slices.IndexFunc(list, func(h *ripostev1.WebhookHeader) bool { return strings.EqualFold(h.GetName(), name) })
}

// readHeader reads 'Name: value'. What is wrong with it is said without the value.
func readHeader(cmd *cobra.Command, flag string) (*ripostev1.WebhookHeader, error) {
	name, value, found := strings.Cut(flag, ":")
	if !found {
		return nil, usagef("--header is 'Name: value'")
	}
	b, err := readInput(cmd, strings.Trim(value, " \t"))
	if err != nil {
		return nil, usagef("reading the value of --header %s: %w", name, err)
	}
	value = strings.TrimRight(string(b), "\r\n") // as files end
	return &ripostev1.WebhookHeader{Name: name, Value: &value}, nil
}

// writeRequestSettings writes nothing that is secret, because the server tells nothing.
func writeRequestSettings(t facts, s *ripostev1.WebhookSettings, now time.Time) {
	var names []string
	for _, h := range s.GetHeaders().GetList() {
		names = append(names, h.GetName())
	}
	t.add("Headers", strings.Join(names, ", "))
	for _, secret := range s.GetSecrets() {
		t.add("Secret", secretText(secret, now))
	}
	t.add("Client certificate", certificateText(s.GetClientCertificate().GetCertificatePem(), now))
	t.add("CA", certificateText(s.GetCaPem(), now))
}

// certificateText says whose the first certificate of a PEM text is and until when.
func certificateText(text string, now time.Time) string {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return ""
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "can't be read"
	}
	subject := c.Subject.String()
	if subject == "" {
		subject = "no name"
	}
	more := ""
	if n := bytes.Count([]byte(text), []byte("-----BEGIN CERTIFICATE-----")) - 1; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
	}
	return fmt.Sprintf("%s, until %s%s", subject, moment(timestamppb.New(c.NotAfter), now), more)
}
