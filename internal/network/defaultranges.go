// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// defaultCandidates are the IPv4 ranges of which the first is taken that leads nowhere yet. They are none of those that Docker, Podman,
// CRI-O, flannel, kubeadm and k3s take unasked.
var defaultCandidates = []string{
	"10.186.0.0/16", "10.187.0.0/16", "10.201.0.0/16", "172.29.0.0/16", "172.28.0.0/16", "192.168.224.0/20", "192.168.160.0/20", "198.18.0.0/16",
}

// defaultChoice is the file default-network.json.
type defaultChoice struct {
	Version int          `json:"version"`
	IPv4    netip.Prefix `json:"ipv4"`
	IPv6    netip.Prefix `json:"ipv6"` // chosen always, used when the host has IPv6
}

const (
	defaultChoiceVersion = 1
	defaultChoiceFile    = "default-network.json"
	maxDefaultChoice     = 4 << 10 // bytes
)

// defaultRanges are the network's address ranges, IPv4 first. They are the same for ever once they were chosen: pods have
// addresses of them.
func defaultRanges(dataDir string) ([]netip.Prefix, error) {
	path := filepath.Join(dataDir, defaultChoiceFile)
	choice, err := readDefaultChoice(path)
	if errors.Is(err, os.ErrNotExist) {
		if choice, err = chooseDefault(); err == nil {
			err = writeDefaultChoice(path, choice)
		}
	}
	if err != nil {
		return nil, err
	}
	ranges := []netip.Prefix{choice.IPv4}
	if hostHasIPv6() {
		ranges = append(ranges, choice.IPv6)
	}
	return ranges, nil
}

// readDefaultChoice refuses what the plugins could not use: an administrator may have written it.
func readDefaultChoice(path string) (*defaultChoice, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDefaultChoice))
	if err != nil {
		return nil, err
	}
	choice, err := parseDefaultChoice(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; correct it, or remove it when there are no pods: %w", path, err, errdefs.ErrFailedPrecondition)
	}
	return choice, nil
}

func parseDefaultChoice(text []byte) (*defaultChoice, error) {
	var c defaultChoice
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return nil, err
	}
	switch {
	case c.Version != defaultChoiceVersion:
		return nil, fmt.Errorf("version %d is not known", c.Version)
	case !c.IPv4.IsValid() || !c.IPv4.Addr().Is4() || c.IPv4.Bits() < 8 || c.IPv4.Bits() > 29:
		return nil, fmt.Errorf("ipv4: %s is no IPv4 range between /8 and /29", c.IPv4)
	case !c.IPv6.IsValid() || !c.IPv6.Addr().Is6() || c.IPv6.Addr().Is4In6() || c.IPv6.Bits() < 48 || c.IPv6.Bits() > 120:
		return nil, fmt.Errorf("ipv6: %s is no IPv6 range between /48 and /120", c.IPv6)
	case c.IPv4 != c.IPv4.Masked() || c.IPv6 != c.IPv6.Masked():
		return nil, errors.New("a range has bits of a host")
	}
	return &c, nil
}

// writeDefaultChoice writes the file once in a node's life, so it may wait for the disk.
func writeDefaultChoice(path string, c *defaultChoice) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+defaultChoiceFile+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	log.L.WithField("ipv4", c.IPv4).WithField("ipv6", c.IPv6).WithField("file", path).Info("cni: addresses of the default network chosen")
	return nil
}

// chooseDefault takes ranges that lead nowhere on this host.
func chooseDefault() (*defaultChoice, error) {
	taken, err := hostPrefixes()
	if err != nil {
		return nil, err
	}
	c := &defaultChoice{Version: defaultChoiceVersion, IPv6: randomULA()}
	for _, text := range defaultCandidates {
		candidate := netip.MustParsePrefix(text)
		if !slices.ContainsFunc(taken, candidate.Overlaps) {
			c.IPv4 = candidate
			return c, nil
		}
	}
	return nil, fmt.Errorf("the host has routes to all of %q: configure a network in the directory of CNI configurations: %w",
		defaultCandidates, errdefs.ErrFailedPrecondition)
}

// randomULA is a /64 of a local prefix with a random global ID, RFC 4193 section 3.2: nobody else's, so nothing is asked.
func randomULA() netip.Prefix {
	address := [16]byte{0: 0xfd}
	_, _ = rand.Read(address[1:6]) // never fails
	return netip.PrefixFrom(netip.AddrFrom16(address), 64)
}
