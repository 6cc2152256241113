// SPDX-License-Identifier: Apache-2.0

// Package macspoof drops what an interface sends into a bridge from another hardware address than its own.
//
// Table, chains, rules and comments are those of the reference bridge plugin with macspoofchk, so that either can remove what
// the other has made: table bridge nat, whose chain PREROUTING jumps to a chain per interface, and that to a chain
// that returns for the address and drops everything else.
package macspoof
