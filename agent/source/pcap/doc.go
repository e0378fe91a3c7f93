// Package pcap reads recordings of packets.
//
// In: the bytes of a pcap or pcapng file, already decompressed. Out: chunks of the TCP connections in it (package tcp
// puts the segments together), and counts of what was not TCP or could not be read, by reason. A fault in the file ends
// the reading with its offset; what came before it is kept. It never looks into payload except to open tunnels, never
// holds more than one packet, and its memory does not grow with the file.
//
// Own code and not gopacket's readers and layers, for two reasons. Speed: on the load capture pcapgo with a
// DecodingLayerParser takes 374 ns a packet to the TCP header, this 121 ns to the chunk, reassembly included
// (BenchmarkPackets). Faults: its readers give no offset, end at the first packet above the snapshot length, and allocate
// what a block's length claims. The tests hold this decoder against gopacket's layers.
package pcap
