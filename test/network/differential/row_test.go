// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"encoding/json"
	"fmt"
)

// row is a configuration and what is done with it. Worlds get it as JSON.
type row struct {
	Name    string
	Version string // of the specification; one row for each of versions
	Plugins string // of the list, JSON objects separated by commas
	// Reference is what the reference's programs get instead in the world that is theirs alone: a default that
	// differs, spelled out.
	Reference string
	Prepare   string // shell, in the host's namespace, before anything else
	Spoil     string // shell, in the host's namespace, after the checks and before they are made again
	Args      map[string][][2]string
	Runtime   map[string]jsonText // of a pod: its capabilities' values, a JSON object
	// Takeover has the worlds in which both kinds of plugins act be one where the reference adds and ours do everything else.
	Takeover bool
	Alone    bool // no world for both: the configuration adds nothing
}

var versions = []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// pods of each world, in the order of their ADDs.
var pods = []string{"alpha", "beta"}

// list is the network's configuration.
func (r *row) list(plugins string) []byte {
	return fmt.Appendf(nil, `{"cniVersion":%q,"name":"net","plugins":[%s]}`, r.Version, plugins)
}

// in makes a row for each version.
func (r row) in(versions ...string) []row {
	var rows []row
	for _, v := range versions {
		one := r
		one.Version = v
		one.Name += "@" + v
		rows = append(rows, one)
	}
	return rows
}

// ports are capabilities of the pod that has host ports.
func ports(mappings string) map[string]jsonText {
	return map[string]jsonText{"alpha": json.RawMessage(`{"portMappings":[` + mappings + `]}`)}
}

// jsonText is a value as it is written.
type jsonText = json.RawMessage
