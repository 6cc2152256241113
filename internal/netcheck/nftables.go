// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Tables of the plugins with rules per pod. In the first a comment begins with hashes of the network and of the attachment, in the
// second it is the pod's id.
const (
	masqueradeTable = "cni_plugins_masquerade"
	hostPortTable   = "cni_hostport"
)

// nftRules are rules with a comment that names a pod, or the hash of its attachment in Detail.
func nftRules(context.Context, *networks) (found []Finding, err error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	tables, err := c.ListTables()
	if unsupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	for _, t := range tables {
		if t.Name == masqueradeTable || t.Name == hostPortTable {
			rules, err := rulesOf(c, t)
			if err != nil {
				return nil, err
			}
			found = append(found, rules...)
		}
	}
	return found, nil
}

// unsupported tells what a kernel without nf_tables says.
func unsupported(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}

func rulesOf(c *nftables.Conn, t *nftables.Table) (found []Finding, err error) {
	chains, err := c.ListChainsOfTableFamily(t.Family)
	if err != nil {
		return nil, fmt.Errorf("list chains of %s: %w", t.Name, err)
	}
	for _, chain := range chains {
		if chain.Table.Name != t.Name {
			continue
		}
		rules, err := c.GetRules(t, chain)
		if err != nil {
			return nil, fmt.Errorf("list rules of %s %s: %w", t.Name, chain.Name, err)
		}
		for _, r := range rules {
			if f, ok := nftFinding(t, chain, r); ok {
				found = append(found, f)
			}
		}
	}
	return found, nil
}

var (
	masqueradeComment = regexp.MustCompile(`^([0-9a-f]{16}-[0-9a-f]{16}), net: `)
	masqueradeID      = regexp.MustCompile(`, id: ([0-9a-f]{64})$`) // often cut off
)

func nftFinding(t *nftables.Table, chain *nftables.Chain, r *nftables.Rule) (Finding, bool) {
	comment := commentOf(r.UserData)
	f := Finding{Kind: "nftables rule", Name: fmt.Sprintf("%s %s %s handle %d", family(t.Family), t.Name, chain.Name, r.Handle)}
	rule := &nftables.Rule{Table: t, Chain: chain, Handle: r.Handle}
	f.remove = func(context.Context) error { return removeRule(rule) }
	if t.Name == hostPortTable {
		f.Pod = comment
		return f, podID.MatchString(comment)
	}
	match := masqueradeComment.FindStringSubmatch(comment)
	if match == nil {
		return f, false
	}
	f.Detail = match[1]
	if id := masqueradeID.FindStringSubmatch(comment); id != nil {
		f.Pod = id[1]
	}
	return f, true
}

func family(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyINet:
		return "inet"
	}
	return fmt.Sprintf("family %d", f)
}

// commentOf reads a rule's user data, libnftnl's udata.h: type, length, value. The comment is of type 0 and ends with a null.
func commentOf(data []byte) string {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		value := data[2 : 2+int(data[1])]
		if data[0] == 0 {
			return strings.TrimRight(string(value), "\x00")
		}
		data = data[2+len(value):]
	}
	return ""
}

// removeRule deletes by handle, which is given once in the life of a table.
func removeRule(r *nftables.Rule) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	if err := c.DelRule(r); err != nil {
		return err
	}
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// attachmentHash is what the comment of a masquerading rule begins with.
func attachmentHash(network, ifName, id string) string {
	return networkHash(network) + "-" + shortHash(ifName+":"+id)
}

func networkHash(network string) string { return shortHash(network) }

// shortHash is the plugins' own.
func shortHash(text string) string {
	sum := sha512.Sum512([]byte(text))
	return hex.EncodeToString(sum[:8])
}
