// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/sardine-run/sardine/internal/cniplugin/builtin"
	"github.com/sardine-run/sardine/internal/network"
)

// keeperVariable holds the configuration of a test binary that is a keeper.
const keeperVariable = "SARDINE_TEST_KEEPER"

// keeperConfig says where things are.
type keeperConfig struct {
	Dir      string
	Programs string // directory of the reference plugins
	Inside   bool   // plugins run in the process
}

// request is what a keeper is to do. Requests are answered in any order.
type request struct {
	Number int
	Verb   string   // "keep", "setup", "teardown"
	IDs    []string // one of a pod, or those that exist
	NetNS  string
	Port   int32
}

// answer is to the request of its number.
type answer struct {
	Number    int
	Error     string
	Addresses []string
}

// keep is the main function of a keeper. It ends with its input.
func keep() int {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		return 1
	}
	return 0
}

func serve(requests io.Reader, answers io.Writer) error {
	var c keeperConfig
	if err := json.Unmarshal([]byte(os.Getenv(keeperVariable)), &c); err != nil {
		return err
	}
	os.Unsetenv(keeperVariable)
	n, closeAll, err := open(&c)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	encoder := json.NewEncoder(answers)
	for decoder := json.NewDecoder(requests); ; {
		var r request
		if err := decoder.Decode(&r); err != nil {
			wg.Wait()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(err, closeAll())
		}
		wg.Go(func() {
			a := do(n, &r)
			mu.Lock()
			defer mu.Unlock()
			_ = encoder.Encode(a) // nobody may be left to hear it
		})
	}
}

func open(c *keeperConfig) (*network.Networks, func() error, error) {
	config := network.DefaultConfig()
	config.BinDirs, config.ConfDir = []string{c.Programs}, c.Dir+"/net.d"
	config.StateDir, config.CacheDir, config.OtherCaches = c.Dir+"/state", c.Dir+"/cache", []string{c.Dir + "/none"}
	closePlugins := func() error { return nil }
	if c.Inside {
		plugins, err := builtin.New()
		if err != nil {
			return nil, nil, err
		}
		config.Plugins, closePlugins = plugins.Set, plugins.Close
	}
	n, err := network.New(config)
	if err != nil {
		return nil, nil, errors.Join(err, closePlugins())
	}
	return n, func() error { return errors.Join(n.Close(), closePlugins()) }, nil
}

func do(n *network.Networks, r *request) answer {
	a := answer{Number: r.Number}
	var err error
	switch r.Verb {
	case "keep":
		n.Keep(context.Background(), r.IDs)
	case "teardown":
		err = n.Teardown(context.Background(), r.IDs[0], r.NetNS)
	case "setup":
		var result *network.Result
		result, err = n.Setup(context.Background(), &network.Attachment{
			ID: r.IDs[0], Name: r.IDs[0], Namespace: "churn", UID: "1", NetNS: r.NetNS,
			PortMappings: []network.PortMapping{{Protocol: "TCP", ContainerPort: 80, HostPort: r.Port}},
		})
		if err == nil {
			a.Addresses = append([]string{result.IP}, result.AdditionalIPs...)
		}
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}
