package console

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// certificateView is what people know a certificate by.
type certificateView struct {
	Subject  string
	Issuer   string
	NotAfter *timestamppb.Timestamp
	Expired  bool
}

// certificates are those of a PEM text that can be read: the API has taken no others.
func certificates(text string) []certificateView {
	var list []certificateView
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		subject := cmp.Or(c.Subject.String(), strings.Join(c.DNSNames, ", "), "serial number "+c.SerialNumber.String())
		list = append(list, certificateView{subject, c.Issuer.String(), timestamppb.New(c.NotAfter), !time.Now().Before(c.NotAfter)})
	}
}
