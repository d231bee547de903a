use super::*;

/// Made by groff and Ghostscript; the others by qpdf out of it: AES with and without a password to open them.
const KETTLE: &[u8] = include_bytes!("testdata/kettle.pdf");
const ENCRYPTED: &[u8] = include_bytes!("testdata/kettle-aes256.pdf");
const SECRET: &[u8] = include_bytes!("testdata/kettle-secret.pdf");

const ALL: Wanted = Wanted { pages: 10, chars: 10_000 };

/// A file of one page. `objects` start at number 4; the page's content is object 3.
fn file(content: &str, resources: &str, objects: &[&str]) -> Vec<u8> {
    let page =
        format!("<< /Type /Page /Parent 1 0 R /MediaBox [0 0 612 792] /Contents 3 0 R /Resources << {resources} >> >>");
    let stream = format!("<< /Length {} >> stream\n{content}\nendstream", content.len());
    let mut bodies = vec!["<< /Type /Pages /Kids [2 0 R] /Count 1 >>".to_string(), page, stream];
    bodies.extend(objects.iter().map(|body| (*body).to_string()));
    bodies.push("<< /Type /Catalog /Pages 1 0 R >>".to_string());
    let mut out = "%PDF-1.7\n".to_string();
    let mut places = Vec::new();
    for (number, body) in (1..).zip(&bodies) {
        places.push(out.len());
        out.push_str(&format!("{number} 0 obj\n{body}\nendobj\n"));
    }
    let table = out.len();
    let size = bodies.len() + 1;
    out.push_str(&format!("xref\n0 {size}\n0000000000 65535 f \n"));
    places.iter().for_each(|place| out.push_str(&format!("{place:010} 00000 n \n")));
    let root = bodies.len();
    out.push_str(&format!("trailer << /Size {size} /Root {root} 0 R >>\nstartxref\n{table}\n%%EOF"));
    out.into_bytes()
}

fn stream(dict: &str, data: &str) -> String {
    format!("<< {dict} /Length {} >> stream\n{data}\nendstream", data.len())
}

const HELVETICA: &str = "/Font << /F 4 0 R >>";
const PLAIN: &str = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>";

/// The text of a page with this content, in Helvetica.
fn drawn(content: &str) -> String {
    of(file(content, HELVETICA, &[PLAIN]))
}

fn of(file: Vec<u8>) -> String {
    extracted(file, ALL).expect("a readable file").text
}

#[test]
fn what_programs_write_is_read() {
    let found = extracted(KETTLE.to_vec(), ALL).expect("readable");
    assert_eq!((found.read, found.pages), (2, 2));
    assert!(found.text.starts_with("The Kettle\n"), "{}", found.text);
    for words in
        ["holds £5 of water — or ½ a litre", "\nThe first", "difficulty is efficient filling.\nA second paragraph."]
    {
        assert!(found.text.replace(" The first", "\nThe first").contains(words), "{words:?} in {}", found.text);
    }
    assert!(found.text.ends_with("\n\nPage two ends it."), "{}", found.text);
    assert_eq!(extracted(ENCRYPTED.to_vec(), ALL).expect("readable").text, found.text);
    assert_eq!(extracted(SECRET.to_vec(), ALL), Err(Unreadable::Protected));
}

#[test]
fn gaps_become_spaces_and_steps_lines() {
    let page = "BT /F 10 Tf 72 700 Td (One) Tj 40 0 Td (two) Tj -40 -12 Td (three) Tj 0 -40 Td (four) Tj ET \
                BT /F 10 Tf 1 0 0 1 72 600 Tm [(kern) 20 (ing, ) -400 (w) 10 (ide)] TJ T* (end) ' ET";
    assert_eq!(drawn(page), "One two\nthree\n\nfour\n\nkerning, wide\nend");
    let page = "q 2 0 0 2 0 0 cm BT /F 10 Tf 14 TL 10 300 Td (a) Tj T* (b) Tj 0 Tw (c) ' 1 0 (d) \" ET Q \
                BT /F 10 Tf 0 1 -1 0 500 100 Tm (up) Tj ET";
    assert_eq!(drawn(page), "a\nb\nc\nd\n\nup");
    assert_eq!(drawn("BT /F 10 Tf 200 Tz 0 Tc 72 700 Td (ab) Tj 22 0 Td (cd) Tj ET"), "abcd");
    assert_eq!(drawn("BT /F 10 Tf 72 700 Td (gr\\374n \\200 co\\255op) Tj ET"), "grün € coop");
}

#[test]
fn what_stands_for_drawn_text_replaces_it() {
    let page =
        "BT /F 10 Tf 72 700 Td /Span << /ActualText (office) >> BDC (o) Tj 6 0 Td (XX) Tj EMC 20 0 Td (hours) Tj ET";
    assert_eq!(drawn(page), "office hours");
    let page = "/Span << /ActualText <FEFF00FC> >> BDC BT /F 10 Tf 72 700 Td (u) Tj ET EMC";
    assert_eq!(drawn(page), "ü");
}

#[test]
fn a_fonts_own_tables_come_first() {
    let table = stream(
        "",
        "1 begincodespacerange <00> <FF> endcodespacerange 2 beginbfchar <01> <00660066> <02> <D83DDE00> endbfchar \
                            1 beginbfrange <41> <43> <0391> endbfrange",
    );
    let font = "<< /Type /Font /Subtype /TrueType /BaseFont /X /ToUnicode 5 0 R /FirstChar 1 /Widths [500 500] >>";
    let page = "BT /F 10 Tf 72 700 Td <01024142435A> Tj ET";
    assert_eq!(of(file(page, HELVETICA, &[font, &table])), "ff😀ΑΒΓZ");
    let font =
        "<< /Type /Font /Subtype /Type1 /BaseFont /X /Encoding << /Differences [1 /eacute /f_i 65 /uni20AC /g7] >> >>";
    assert_eq!(of(file("BT /F 10 Tf 72 700 Td <01024142> Tj ET", HELVETICA, &[font])), "éfi€");
}

#[test]
fn composite_fonts_are_read_two_bytes_at_a_time() {
    let page = "BT /F 10 Tf 72 700 Td <00010002> Tj 10 0 Td <0001> Tj ET";
    let table = stream("", "1 beginbfrange <0001> <0002> [<0041> <00420043>] endbfrange");
    let font = "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode 5 0 R /DescendantFonts [6 0 R] >>";
    let below = "<< /Type /Font /Subtype /CIDFontType2 /DW 400 /W [1 [500] 2 3 500] >>";
    assert_eq!(of(file(page, HELVETICA, &[font, &table, below])), "ABCA");
    let font = "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /UniJIS-UCS2-H /DescendantFonts [5 0 R] >>";
    let page = "BT /F 10 Tf 72 700 Td <65E5672C> Tj ET";
    assert_eq!(of(file(page, HELVETICA, &[font, below])), "日本");
    // Numbers of glyphs without a table mean nothing.
    let font = "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /DescendantFonts [5 0 R] >>";
    assert_eq!(of(file(page, HELVETICA, &[font, below])), "");
}

#[test]
fn forms_are_drawn_where_they_stand_and_end() {
    let form = |data: &str| stream("/Type /XObject /Subtype /Form /Matrix [1 0 0 1 0 -20]", data);
    let resources = "/Font << /F 4 0 R >> /XObject << /A 5 0 R /B 6 0 R >>";
    let (inner, picture) = (form("BT /F 10 Tf 72 700 Td (in) Tj ET /A Do"), stream("/Subtype /Image", "BT (x) Tj ET"));
    let page = "BT /F 10 Tf 72 700 Td (out) Tj ET /A Do /B Do BT /F 10 Tf 90 640 Td (after) Tj ET";
    let text = of(file(page, resources, &[PLAIN, &inner, &picture]));
    // A form that draws itself does so a few times.
    assert_eq!(
        (text.matches("in").count(), text.starts_with("out"), text.ends_with("after")),
        (12, true, true),
        "{text}"
    );
}

#[test]
fn only_what_is_wanted_is_read() {
    let some = |pages, chars| extracted(KETTLE.to_vec(), Wanted { pages, chars }).expect("readable");
    let first = some(1, 1000);
    assert_eq!((first.read, first.pages), (1, 2));
    assert!(!first.text.contains("Page two"), "{}", first.text);
    assert!(first.with_note().ends_with("\n\n[Pages 1 to 1 of 2.]"));
    assert_eq!(some(2, 5).text, "The K");
    assert_eq!(some(0, 5).text, "");
}

#[test]
fn what_is_no_pdf_is_told_apart() {
    for bytes in [&b""[..], b"hello", b"%PDF-1.4\nnothing", &KETTLE[..300]] {
        assert_eq!(extracted(bytes.to_vec(), ALL), Err(Unreadable::Invalid));
    }
    assert!(is_pdf(b"\n\n%PDF-1.4") && !is_pdf(b"%PD"));
    assert!(matches!(text(b"hello".to_vec(), ALL, &Abort::new()), Err(PdfError::NotPdf)));
    assert!(matches!(text(vec![0; FILE_BYTES + 1], ALL, &Abort::new()), Err(PdfError::TooLarge)));
}

/// Half a file is what a broken download leaves: what is there is read, and nothing falls over.
#[test]
fn broken_files_end_in_an_answer() {
    for end in (0..KETTLE.len()).step_by(97) {
        let _ = extracted(KETTLE[..end].to_vec(), ALL);
    }
    let odd =
        ["(", "<", "[", "BT /F", "Q Q Q EMC EMC (x) Tj", "/F 1e99 Tf (x) Tj", "0 0 0 0 0 0 cm BT /F 1 Tf (ab) Tj ET"];
    for content in odd {
        let _ = drawn(content);
    }
    let nested = format!("{}BT /F 10 Tf 72 700 Td (x) Tj ET", "q ".repeat(5_000));
    assert_eq!(drawn(&nested), "x");
}
