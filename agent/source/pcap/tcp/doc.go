// Package tcp puts the TCP segments of a recording back into two byte streams per connection.
//
// In: Segments, in the order in which the recording has them. Out: chunks (Data, EOF, Close and a Tick for each second of
// packet time) to a chunk.Handler. It keeps no byte longer than it must wait for others, never looks into the bytes, and
// never reads the clock: all time-outs are in packet time.
//
// How the streams are made:
//   - Order within a direction is that of sequence numbers; a 32-bit wrap is of no account.
//   - Order between the directions is that of the acknowledgements: a segment is handed on after the bytes of the other
//     direction that its sender had received by then, even where the recording has the two swapped.
//   - Where segments overlap, the first copy that the recording has wins, as it does for data already received in Linux,
//     BSD and Windows. Keep-alives and retransmissions are overlaps like any other.
//   - Bytes that do not come become a gap (chunk.WhyMissing) once the receiver acknowledged them, or the recording has only
//     this direction, and either enough further packets of the connection passed or enough time did. A hole that the
//     receiver did not acknowledge waits for its retransmission as long as the budget allows.
//   - A connection whose start is not in the recording begins at the first byte seen (chunk.TakenOver), after a short wait
//     for bytes before it. Its role is unknown.
//   - Checksums are not verified: captures taken on a sending host have wrong ones wherever the card computes them.
//   - A SYN with another initial sequence number is another connection. After an orderly end the ports are remembered
//     for a while so that late copies do not open a new one. A reset ends a connection after a short wait, since the
//     recording may have it before the last data.
package tcp
