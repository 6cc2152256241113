// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// What differs from world to world, or with time, is replaced by a word for what it is or left out. Names of veths
// are random, and so are hardware addresses that nobody has asked for.

// passing are keys of a link that are numbers of this world or change by themselves.
var passing = []string{
	"ifindex", "link_index", "link_netnsid", "link", "operstate", "stats", "stats64", "broadcast", "addr_info", "linkinfo", "flags", "address", "link_pointtopoint",
}

// passingInfo are those of a bridge or its port.
var passingInfo = regexp.MustCompile(`timer|_id$|^id$|^no$|designated|topology_change|root_p|^port_?no|age|interval`)

var randomName = regexp.MustCompile(`^veth[0-9a-f]{8}$`)

// learn notes what random names and addresses stand for.
func (s *scene) learn() {
	host, names := s.spaces[0], s.known
	for _, l := range host.links {
		name := l["ifname"].(string)
		if !randomName.MatchString(name) {
			continue
		}
		if names[name] == "" {
			names[name] = "veth*lone"
		}
		if peer, ok := l["link"].(string); ok {
			names[name] = "veth*of-" + peer
		}
		for _, pod := range s.spaces[1:] {
			for _, p := range pod.links {
				if p["link_index"] == l["ifindex"] && l["link_index"] == p["ifindex"] && p["link_netnsid"] != nil {
					names[name] = fmt.Sprintf("veth*of-%s-%s", pod.name, p["ifname"])
				}
			}
		}
	}
	for _, sp := range s.spaces {
		for _, l := range sp.links {
			mac, _ := l["address"].(string)
			if l["link_type"] == "ether" && !s.asked(mac) && names[mac] == "" {
				name := l["ifname"].(string)
				if n, ok := names[name]; ok {
					name = n
				}
				names[mac] = "mac*of-" + sp.name + "-" + name
			}
		}
	}
}

// nobody is the hardware address of lo, and of a bridge that has lost its ports.
const nobody = "00:00:00:00:00:00"

// asked tells whether a hardware address is in the row.
func (s *scene) asked(mac string) bool {
	return mac == "" || mac == nobody || strings.Contains(s.config, mac)
}

// normalize makes parts of everything.
func (s *scene) normalize() {
	s.learn()
	for _, sp := range s.spaces {
		s.describeLinks(sp)
		s.parts["routes"] += lines(sp.name, kept(sp.routes, lastingRoute))
		s.parts["policy"] += lines(sp.name, sp.rules)
		s.parts["neighbors"] += lines(sp.name, sp.neighbors)
		for _, key := range slices.Sorted(maps.Keys(sp.sysctls)) {
			s.parts["sysctls"] += sp.name + " " + key + " = " + sp.sysctls[key] + "\n"
		}
	}
	s.parts["vlans"] = lines("host", s.bridges)
	s.parts["tc"] = lines("host", s.tc)
	s.replace()
}

// random is what may be random, wherever it stands.
var random = regexp.MustCompile(`\b(?:([0-9a-f]{2}:){5}[0-9a-f]{2}|veth[0-9a-f]{8})\b`)

// replace puts in what is random what it stands for.
func (s *scene) replace() {
	var pairs []string
	for _, from := range slices.Sorted(maps.Keys(s.known)) {
		pairs = append(pairs, from, s.known[from])
	}
	replacer := strings.NewReplacer(pairs...)
	for kind, text := range s.parts {
		text = random.ReplaceAllStringFunc(replacer.Replace(text), func(name string) string {
			if s.asked(name) {
				return name
			}
			return "random*"
		})
		if kind != "filter" && kind != "outcome" {
			text = sorted(text) // names have changed
		}
		s.parts[kind] = text
	}
}

func sorted(text string) string {
	all := slices.Collect(strings.Lines(text))
	slices.Sort(all)
	return strings.Join(all, "")
}

// describeLinks writes a link, and each of its addresses, to a line.
func (s *scene) describeLinks(sp *space) {
	for _, l := range sp.links {
		name := l["ifname"]
		shown := maps.Clone(l)
		for _, key := range passing {
			delete(shown, key)
		}
		shown["address"] = s.hardware(sp, l)
		shown["flags"] = kept(l["flags"], lastingFlag)
		if info, ok := l["linkinfo"].(map[string]any); ok {
			shown["linkinfo"] = lasting(info)
		}
		s.parts["links"] += line(fmt.Sprintf("%s %s", sp.name, name), shown)
		addresses, _ := l["addr_info"].([]any)
		for _, a := range addresses {
			address := a.(map[string]any)
			local := fmt.Sprint(address["local"])
			if strings.HasPrefix(local, "fe80:") {
				continue // the kernel's, made some time after the link has a carrier
			}
			delete(address, "tentative")
			s.parts["addresses"] += line(fmt.Sprintf("%s %s", sp.name, name), address)
		}
	}
}

// hardware tells a bridge's address that is one of its ports', which changes with the ports, from one that it keeps.
func (s *scene) hardware(sp *space, link map[string]any) string {
	mac, _ := link["address"].(string)
	if s.asked(mac) || link["link_type"] != "ether" {
		return mac
	}
	for _, other := range sp.links {
		if other["master"] == link["ifname"] && other["address"] == mac {
			return "a port's"
		}
	}
	return "random"
}

// lasting is a copy of the details of a link without what passes.
func lasting(info map[string]any) map[string]any {
	shown := map[string]any{}
	for key, value := range info {
		if deeper, ok := value.(map[string]any); ok {
			value = lasting(deeper)
		}
		if !passingInfo.MatchString(key) {
			shown[key] = value
		}
	}
	return shown
}

func lastingFlag(flag any) bool {
	return !slices.Contains([]any{"LOWER_UP", "NO-CARRIER", "RUNNING", "M-DOWN"}, flag)
}

// lastingRoute leaves out what the kernel adds when a link has a carrier, and its own routes for own IPv6 addresses, which
// wait for the end of duplicate address detection.
func lastingRoute(route map[string]any) bool {
	delete(route, "flags") // linkdown
	destination := fmt.Sprint(route["dst"])
	if strings.HasPrefix(destination, "fe80:") || destination == "ff00::/8" {
		return false
	}
	return route["table"] != "local" || !strings.Contains(destination, ":")
}

func kept[T any](all any, keep func(T) bool) []T {
	var found []T
	switch all := all.(type) {
	case []T:
		found = slices.DeleteFunc(slices.Clone(all), func(v T) bool { return !keep(v) })
	case []any:
		for _, v := range all {
			if v, ok := v.(T); ok && keep(v) {
				found = append(found, v)
			}
		}
	}
	return found
}

func lines(name string, all []map[string]any) string {
	var text strings.Builder
	for _, object := range all {
		if len(object) > 0 {
			text.WriteString(line(name, object))
		}
	}
	return text.String()
}

func line(name string, object any) string {
	text, err := json.Marshal(object)
	if err != nil {
		text = []byte(err.Error())
	}
	return fmt.Sprintf("%s %s\n", name, text)
}

// outcome describes what a step returned.
func (s *scene) outcome(result any, failure error) (string, error) {
	if failure != nil {
		return "error: " + describe(failure) + "\n", nil
	}
	text, err := json.MarshalIndent(result, "", " ")
	if err != nil {
		return "", err
	}
	if _, ok := result.(types.Result); !ok {
		return string(text) + "\n", nil
	}
	var shown map[string]any
	if err := json.Unmarshal(text, &shown); err != nil {
		return "", err
	}
	interfaces, _ := shown["interfaces"].([]any)
	for _, i := range interfaces {
		s.judge(i.(map[string]any))
	}
	text, err = json.MarshalIndent(shown, "", " ")
	return string(text) + "\n", err
}

// judge replaces the hardware address in a result by whether it is the interface's.
func (s *scene) judge(reported map[string]any) {
	mac, _ := reported["mac"].(string)
	if s.asked(mac) {
		return
	}
	for _, sp := range s.spaces {
		sandbox := ""
		if sp.name != "host" {
			sandbox = netns(sp.name)
		}
		if told, _ := reported["sandbox"].(string); told != sandbox {
			continue
		}
		for _, l := range sp.links {
			if l["ifname"] == reported["name"] {
				reported["mac"] = fmt.Sprintf("true: %t", l["address"] == mac)
			}
		}
	}
}

// describe is what a client sees of an error.
func describe(err error) string {
	if err == nil {
		return ""
	}
	var said *types.Error
	if !errors.As(err, &said) {
		return err.Error()
	}
	return fmt.Sprintf("code %d, message %q, details %q, all: %s", said.Code, said.Msg, said.Details, err)
}
