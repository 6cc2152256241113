// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/containerd/errdefs"
)

// certificateLife is longer than a daemon runs.
const certificateLife = 10 * 365 * 24 * time.Hour

// tls returns nil when it is not asked for.
func (cfg Config) tls() (*tls.Config, error) {
	files := cfg.CertFile != "" || cfg.KeyFile != ""
	switch {
	case !cfg.TLS && files:
		return nil, fmt.Errorf("x509_key_pair_streaming without enable_tls_streaming: %w", errdefs.ErrInvalidArgument)
	case !cfg.TLS:
		return nil, nil
	case files && (cfg.CertFile == "" || cfg.KeyFile == ""):
		return nil, fmt.Errorf("x509_key_pair_streaming needs both tls_cert_file and tls_key_file: %w", errdefs.ErrInvalidArgument)
	}
	var certificate tls.Certificate
	var err error
	if files {
		certificate, err = tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	} else {
		certificate, err = selfSigned()
	}
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"}, // what is upgraded to a stream cannot be HTTP/2
	}, nil
}

// selfSigned makes a certificate for this node's name and addresses. The key is of the kind
// that takes no time to make.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template, err := certificateTemplate()
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func certificateTemplate() (*x509.Certificate, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host, "localhost"},
		NotBefore:    time.Now().Add(-time.Hour), // clocks differ
		NotAfter:     time.Now().Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true, // to be its own root
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok {
			t.IPAddresses = append(t.IPAddresses, ip.IP)
		}
	}
	return t, nil
}
