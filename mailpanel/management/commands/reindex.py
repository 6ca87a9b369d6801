from accounts import search
from mailpanel.management.operator import OperatorCommand, Refused


class Command(OperatorCommand):
    help = (
        "Compare the words by which mailboxes, aliases and domains are found with the rows, and correct them."
    )

    def add_arguments(self, parser):
        parser.add_argument("--check", action="store_true", help="correct nothing; exit 1 where one is wrong")
        parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")

    def handle(self, *, check, as_json, **options):
        wrong = search.correct(check=check)
        if as_json:
            self.tell_json({"wrong": wrong})
        elif not wrong:
            self.tell("All words are right.")
        elif not check:
            self.tell(f"The words of {wrong} rows were wrong and are corrected.")
        if check and wrong:
            raise Refused(f"The words of {wrong} rows are wrong; without --check they are corrected.")
