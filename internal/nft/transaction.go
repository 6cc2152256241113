// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Tx is a transaction that is being made. Its methods look at the rule set as it is before it.
type Tx struct {
	tables   *Tables
	messages []netlink.Message
	fixed    map[*chain]string // what chains get that are in the index
	err      error             // the first
}

// Found is a rule that is there.
type Found struct {
	Handle  uint64
	Comment string
}

// Find returns the rules of a chain that have this comment, oldest first.
func (tx *Tx) Find(id ID, chain, comment string) []Found {
	if c := tx.chain(id, chain); c != nil {
		return c.exactly(comment)
	}
	return nil
}

// FindPrefix returns the rules of a chain with a comment that starts so. With a start of less than 33 bytes it looks at all of them.
func (tx *Tx) FindPrefix(id ID, chain, prefix string) []Found {
	if c := tx.chain(id, chain); c != nil {
		return c.find(prefix)
	}
	return nil
}

// HasChain tells whether a table has a chain.
func (tx *Tx) HasChain(id ID, chain string) bool { return tx.chain(id, chain) != nil }

func (tx *Tx) table(id ID) *table {
	if tx.err != nil {
		return nil
	}
	t, err := tx.tables.load(id)
	tx.fail(err)
	return t
}

func (tx *Tx) chain(id ID, name string) *chain {
	if t := tx.table(id); t != nil {
		return t.chains[name]
	}
	return nil
}

func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// Ensure adds what is missing of a table: itself, its chains and the rules of those that have fixed ones. Fixed rules are made anew unless
// Ensure made them last.
func (tx *Tx) Ensure(want Table) {
	have := tx.table(want.ID)
	if have == nil {
		return
	}
	if !have.exists {
		tx.addTable(want)
	}
	for _, c := range want.Chains {
		old := have.chains[c.Name]
		if old == nil || !sameHook(old.hook, c.Hook) {
			tx.AddChain(want.ID, c)
		}
	}
	for _, c := range want.Chains {
		if c.Fixed != nil {
			tx.fix(want.ID, have.chains[c.Name], c)
		}
	}
}

func sameHook(a, b *Hook) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func (tx *Tx) fix(id ID, old *chain, want Chain) {
	encoded := ""
	for _, r := range want.Fixed {
		data, err := encode(id.Family, r.Expressions)
		tx.fail(err)
		encoded += string(data) + "\n"
	}
	if old != nil && old.fixed == encoded {
		return
	}
	if old != nil && len(old.rules) > 0 {
		tx.Flush(id, want.Name)
	}
	for _, r := range want.Fixed {
		tx.Append(id, want.Name, r)
	}
	if old != nil {
		tx.fixed[old] = encoded
	}
}

func (tx *Tx) put(kind uint16, flags netlink.HeaderFlags, id ID, attributes ...netlink.Attribute) {
	tx.fail(checkName(id.Name))
	m, err := message(kind, flags, id.Family, append([]netlink.Attribute{text(attributeTable, id.Name)}, attributes...)...)
	tx.fail(err)
	tx.messages = append(tx.messages, m)
}

func (tx *Tx) addTable(t Table) {
	attributes := []netlink.Attribute{number32(unix.NFTA_TABLE_FLAGS, 0)}
	if t.Comment != "" {
		tx.fail(checkComment(t.Comment))
		attributes = append(attributes, userData(tableUserData, t.Comment))
	}
	tx.put(unix.NFT_MSG_NEWTABLE, netlink.Create, t.ID, attributes...)
}

// AddChain adds a chain, empty; Fixed is not looked at. An error when one of this name has another hook.
func (tx *Tx) AddChain(id ID, c Chain) {
	tx.fail(checkName(c.Name))
	attributes := []netlink.Attribute{text(chainName, c.Name)}
	if c.Hook != nil {
		hook, err := netlink.MarshalAttributes([]netlink.Attribute{
			number32(unix.NFTA_HOOK_HOOKNUM, c.Hook.Number),
			number32(unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority)),
		})
		tx.fail(err)
		attributes = append(attributes,
			netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_CHAIN_HOOK, Data: hook},
			number32(unix.NFTA_CHAIN_POLICY, policyAccept), text(chainType, c.Hook.Type))
	}
	if c.Comment != "" {
		tx.fail(checkComment(c.Comment))
		attributes = append(attributes, userData(chainUserData, c.Comment))
	}
	tx.put(unix.NFT_MSG_NEWCHAIN, netlink.Create, id, attributes...)
}

// DeleteChain deletes a chain that is empty by then and that nothing jumps to any more.
func (tx *Tx) DeleteChain(id ID, chain string) {
	tx.put(unix.NFT_MSG_DELCHAIN, 0, id, text(chainName, chain))
}

// Flush deletes all rules of a chain.
func (tx *Tx) Flush(id ID, chain string) {
	tx.put(unix.NFT_MSG_DELRULE, 0, id, text(ruleChain, chain))
}

// Append adds a rule at the end of a chain.
func (tx *Tx) Append(id ID, chain string, r Rule) {
	tx.fail(checkName(chain))
	expressions, err := encode(id.Family, r.Expressions)
	tx.fail(err)
	attributes := []netlink.Attribute{
		text(ruleChain, chain),
		{Type: unix.NLA_F_NESTED | unix.NFTA_RULE_EXPRESSIONS, Data: expressions},
	}
	if r.Comment != "" {
		tx.fail(checkComment(r.Comment))
		attributes = append(attributes, userData(ruleUserData, r.Comment))
	}
	tx.put(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, id, attributes...)
}

// Delete deletes rules that were found.
func (tx *Tx) Delete(id ID, chain string, rules ...Found) {
	for _, r := range rules {
		tx.put(unix.NFT_MSG_DELRULE, 0, id, text(ruleChain, chain), number64(ruleHandle, r.Handle))
	}
}

func (tx *Tx) commit() error {
	if len(tx.messages) == 0 {
		return nil
	}
	if err := tx.tables.request.commit(tx.tables.generation, tx.messages); err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	for c, fixed := range tx.fixed {
		c.fixed = fixed
	}
	return nil
}
