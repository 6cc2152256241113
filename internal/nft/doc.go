// SPDX-License-Identifier: Apache-2.0

// Package nft changes nftables, one atomic transaction at a time, and finds rules again by their comments.
//
// No program is started. An index of comments and rule handles is kept in memory; the kernel tells every
// change that anybody makes, and a transaction is bound to the generation of the rule set that the index was
// right for: when somebody else was quicker, the kernel refuses it, the index is brought up to date and the
// transaction made anew. So neither adding nor deleting reads what other pods have.
//
// Sources: nft(8), linux/netfilter/nf_tables.h and nfnetlink.h, libnftnl's udata.h for the form of comments.
package nft
