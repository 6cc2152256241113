// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// maxResolvConf is how much of a resolv.conf is read.
const maxResolvConf = 1 << 20

// resolvConf reads a file in the format of resolv.conf(5). Links are followed, it is one on most hosts.
func resolvConf(path string) (types.DNS, error) {
	f, err := kernel.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return types.DNS{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() && path != "/dev/null" {
		return types.DNS{}, fmt.Errorf("%s is no regular file: %w", path, unix.EINVAL)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxResolvConf+1))
	if err == nil && len(text) > maxResolvConf {
		err = fmt.Errorf("%s: %w", path, unix.EFBIG)
	}
	if err != nil {
		return types.DNS{}, err
	}
	return parseResolvConf(text)
}

// parseResolvConf takes what the result of a plugin has room for. Of several domains the last one counts, everything else adds up.
func parseResolvConf(text []byte) (types.DNS, error) {
	var dns types.DNS
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || strings.ContainsAny(fields[0][:1], "#;") {
			continue
		}
		switch fields[0] {
		case "nameserver":
			dns.Nameservers = append(dns.Nameservers, fields[1])
		case "domain":
			dns.Domain = fields[1]
		case "search":
			dns.Search = append(dns.Search, fields[1:]...)
		case "options":
			dns.Options = append(dns.Options, fields[1:]...)
		}
	}
	return dns, lines.Err()
}
