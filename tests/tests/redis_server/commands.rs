//! Random commands of every kind, in both notations, within what their counting allows.

/// A command that no server knows.
pub(crate) const UNKNOWN: &str = "NO.SUCH.COMMAND";

/// Numbers that look random and are the same in every run (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit.max(1)
    }
}

/// Makes a connection's writes; it knows the connection's modes as far as they limit what may be sent.
pub(crate) struct Generator {
    random: Random,
    scripts: u64,
    in_multi: bool,
    silent: bool,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), scripts: 0, in_multi: false, silent: false }
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    pub(crate) fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// The bytes of one write: one command or a pipeline.
    pub(crate) fn write(&mut self) -> Vec<u8> {
        let count = if self.chance(2) { 1 } else { 1 + self.below(60) };
        let mut bytes = Vec::new();
        for _ in 0..count {
            for command in self.commands() {
                let inline = self.chance(8) && is_inline(&command);
                add(&mut bytes, &command, inline);
            }
        }
        bytes
    }

    fn commands(&mut self) -> Vec<Vec<String>> {
        if self.silent {
            // Errors are counted, though not sent: only what succeeds may come here.
            return match self.below(4) {
                0 => {
                    self.silent = false;
                    vec![words("CLIENT REPLY ON")]
                }
                1 => vec![words("CLIENT REPLY OFF")],
                _ => vec![words("SET silent 1")],
            };
        }
        match self.below(24) {
            0 => self.transaction(),
            1 if !self.in_multi => self.mode(),
            2 | 3 => vec![self.script()],
            4 => vec![words(UNKNOWN), words("GET"), words("SET a"), words("LPUSH string1 x")],
            _ => vec![self.ordinary()],
        }
    }

    fn transaction(&mut self) -> Vec<Vec<String>> {
        let word = match self.below(6) {
            0 | 1 => "MULTI",
            2 | 3 => "EXEC",
            4 => "DISCARD",
            _ => "WATCH string1",
        };
        self.in_multi = match word {
            "MULTI" => true,
            "EXEC" | "DISCARD" => false,
            _ => self.in_multi,
        };
        vec![words(word)]
    }

    /// What changes the connection. None of it is sent inside a transaction.
    fn mode(&mut self) -> Vec<Vec<String>> {
        let one = |text: &str| vec![words(text)];
        match self.below(18) {
            0 => one("HELLO 3"),
            1 => one("HELLO 2"),
            2 => one("HELLO 9"),
            3 => one("RESET"),
            4 => {
                self.silent = true;
                // In RESP2 a subscriber is refused: it leaves its subscriptions first.
                vec![words("RESET"), words("CLIENT REPLY OFF")]
            }
            5 => vec![words("RESET"), words("CLIENT REPLY SKIP"), words("SET silent 1")],
            6 => vec![words("CLIENT TRACKING ON BCAST"), words("GET string1")],
            7 => vec![
                words("HELLO 3"),
                words("CLIENT TRACKING ON"),
                words("GET string1"),
                words("GET string2"),
            ],
            8 => one("SUBSCRIBE channel0 channel1 channel1"),
            9 => one("PSUBSCRIBE chan* none*"),
            10 => one("SSUBSCRIBE shard0 shard1"),
            11 => one("UNSUBSCRIBE"),
            12 => one("UNSUBSCRIBE channel1 nothing"),
            13 => one("PUNSUBSCRIBE"),
            14 => one("SUNSUBSCRIBE"),
            15 => one("MONITOR"),
            16 => vec![words("SELECT 3"), words("SELECT 0")],
            _ => one("SELECT nowhere"),
        }
    }

    /// Fails with an error that its key names, or gives a value of a curious type.
    fn script(&mut self) -> Vec<String> {
        self.scripts += 1;
        let failing = "return redis.error_reply(KEYS[1] .. ' with a reason')";
        let nested = "return {1, {2, {'three', {}}}, false, {double=1.5}, {map={a=1}}, {set={a=true}}, true}";
        let lua = match self.below(4) {
            0 => nested,
            1 => "redis.setresp(3); return {map={a={1, 2}}, double=3}",
            2 => "return 'message'",
            _ => failing,
        };
        vec!["EVAL".into(), lua.into(), "1".into(), format!("E{}", self.scripts)]
    }

    fn ordinary(&mut self) -> Vec<String> {
        let (n, m) = (self.below(3), self.below(3));
        let text = match self.below(30) {
            0 => format!("GET {}{m}", ["string", "noise", "noise"][n as usize]),
            1 => format!("SET string{n} value{m}"),
            2 => format!("INCR string{n}"),
            3 => format!("LPUSH list{n} message channel{m} value"),
            4 => format!("LRANGE list{n} 0 -1"),
            5 => format!("LTRIM list{n} 0 30"),
            6 => format!("HSET hash{n} field{m} value"),
            7 => format!("HGETALL hash{n}"),
            8 => format!("ZADD sorted{n} 1.5 a 2 b{m}"),
            9 => format!("ZRANGE sorted{n} 0 -1 WITHSCORES"),
            10 => format!("SADD set{n} a b{m}"),
            11 => format!("SMEMBERS set{n}"),
            12 => format!("MGET string{n} string{m} nothing list0"),
            13 => format!("DEL string{n} list{m}"),
            14 => format!("XADD stream{n} * field value"),
            15 => format!("XREAD COUNT 3 STREAMS stream{n} 0"),
            16 => format!("XGROUP CREATE stream{n} group 0"),
            17 => format!("EVALSHA {} 1 string{n}", "f".repeat(40)),
            18 => format!("BLPOP list{n} nothing 0.01"),
            19 => format!("TYPE hash{m}"),
            20 => format!("OBJECT ENCODING string{m}"),
            21 => "PING".to_owned(),
            22 => format!("PING message{n}"),
            23 => format!("LPUSH hash{n} x"),
            24 => format!("EXPIRE string{n} 100"),
            25 => "COMMAND COUNT".to_owned(),
            26 => format!("SMEMBERS list{n}"),
            27 => "CLIENT ID".to_owned(),
            28 => "INCRBY list0 1".to_owned(),
            _ => return self.long(),
        };
        words(&text)
    }

    /// A command with a long value, or with many arguments.
    fn long(&mut self) -> Vec<String> {
        let size = 1 << self.below(17);
        if self.chance(2) {
            return vec!["SET".into(), "string1".into(), "+OK\r\n$1\r\n".repeat(size / 8 + 1)];
        }
        let mut command = words("MSET");
        for number in 0..(size % 4000).max(1) {
            command.extend([format!("many{number}"), "v".into()]);
        }
        command
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn is_inline(command: &[String]) -> bool {
    command.len() < 100
        && command.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\''))
}

fn add(bytes: &mut Vec<u8>, command: &[String], inline: bool) {
    if inline {
        bytes.extend_from_slice(command.join(" ").as_bytes());
        return bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for word in command {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}
