"""The file MONAI Label loads. Thin on purpose: it is executed outside the module system (see docs/server.md)."""

from monailabel.interfaces.app import MONAILabelApp

from monailabel_app import setup


class RadFindApp(MONAILabelApp):
    def __init__(self, app_dir, studies, conf):  # type: ignore[no-untyped-def]
        about = {"name": setup.NAME, "description": setup.DESCRIPTION, "version": setup.VERSION}
        super().__init__(app_dir, studies, conf, **about, labels=list(setup.LABELS))

    def init_infers(self):  # type: ignore[no-untyped-def]
        self._process = setup.process(self.datastore())
        return setup.infers(self.datastore(), self._process)

    def init_strategies(self):  # type: ignore[no-untyped-def]
        return setup.strategies()

    def init_scoring_methods(self):  # type: ignore[no-untyped-def]
        return setup.scoring()

    def init_datastore(self):  # type: ignore[no-untyped-def]
        return setup.datastore(self.studies)

    def close(self):  # type: ignore[no-untyped-def]
        """Ends the process of the tasks and removes temporary files; the gateway calls it when it stops."""
        self._process.close()
        self.datastore().close()
